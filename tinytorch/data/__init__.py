"""Data sets that ship with TinyTorch; LICENSES.md says where each comes from. `tinytorch.core.dataloader` loads them."""
