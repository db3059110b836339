"""The import of weights from the files of other projects.

options     the options that the sections of all sources of weights share
kinds/      the catalogue: one file for each kind of source, with its section of a recipe
kind        the declaration that such a file holds
laying      the copying of files into a folder, each checked by its digest
fetching    the files of a source, checked and kept
reading     files of weights to named tensors and a configuration
formats     safetensors, GGUF and npz
packed      GGUF: its header, read within bounds, and its tensors
json_files  the JSON files beside the weights
pickles     the refusal of pickles
network     the network of this project, with rows for control tokens
vocabulary  the tokenizer of the weights
"""
