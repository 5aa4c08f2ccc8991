"""The tensors of a `torch.save` file, mapped without torch and without running anything of the file."""
