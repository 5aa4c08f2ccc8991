"""The formats in which SAEs are published, each read into `Weights` without copying a matrix.

Only tensors are read. Six loaders of sae-lens end in a bare `torch.load`, which runs code from the file. The files of
one of them, dictionary_learning, are read without torch (`darkmatter.torch_files.read`), which runs nothing; what the
others serve is refused, as is what is no SAE of one activation.
"""

from darkmatter.saes.published import dictionary_learning_options, gemma_scope, llama_scope, sae_lens_options, sparsify
from darkmatter.saes.published.dictionary_learning import read_dictionary_learning
from darkmatter.saes.published.gemma_scope import read_gemma_scope, read_gemma_scope_2
from darkmatter.saes.published.llama_scope import read_llama_scope
from darkmatter.saes.published.sae_lens import read_sae_lens
from darkmatter.saes.published.sparsify import read_sparsify

READERS = {
    "gemma-scope": read_gemma_scope,
    "gemma-scope-2": read_gemma_scope_2,
    "llama-scope": read_llama_scope,
    "sae-lens": read_sae_lens,
    "sparsify": read_sparsify,
    "dictionary-learning": read_dictionary_learning,
}

OPTIONS_OF = {  # the keys of their configurations
    "gemma-scope-2": gemma_scope.OPTIONS,
    "llama-scope": llama_scope.OPTIONS,
    "sae-lens": sae_lens_options.OPTIONS,
    "sparsify": sparsify.OPTIONS,
    "dictionary-learning": dictionary_learning_options.OPTIONS,
}
