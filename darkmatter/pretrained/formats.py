"""The formats in which SAEs are published, each read into `Weights` without copying a matrix.

Only formats of arrays are read. Six loaders of sae-lens end in a bare `torch.load`, which runs code from the file:
what they serve is refused, as is what is no SAE of one activation.
"""

from darkmatter.pretrained import gemma_scope, llama_scope, sparsify
from darkmatter.pretrained.gemma_scope import read_gemma_scope, read_gemma_scope_2
from darkmatter.pretrained.llama_scope import read_llama_scope
from darkmatter.pretrained.sae_lens import read_sae_lens
from darkmatter.pretrained.sparsify import read_sparsify

READERS = {
    "gemma-scope": read_gemma_scope,
    "gemma-scope-2": read_gemma_scope_2,
    "llama-scope": read_llama_scope,
    "sae-lens": read_sae_lens,
    "sparsify": read_sparsify,
}

OPTIONS_OF = {  # the keys of their configurations
    "gemma-scope-2": gemma_scope.OPTIONS,
    "llama-scope": llama_scope.OPTIONS,
    "sparsify": sparsify.OPTIONS,
}
