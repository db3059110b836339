"""Weights in from other projects' files, and out into theirs.

options     what the sections of all sources of weights share
kinds/      the catalogue: one file a kind of source, with its section of a recipe
kind        what such a file declares
laying      files into a folder, each proved by its digest
fetching    the files of a source, checked and kept
reading     files of weights to named tensors and a configuration
formats     safetensors and npz
packed      GGUF: its header, read within bounds, and its tensors
json_files  JSON beside them
pickles     what is refused
network     a network of ours, with rows for control tokens
vocabulary  the tokenizer that came along
"""
