"""Parts of other networks that the paper compares with (Table II).

No other module imports these; a config names them by their whole paths, as in
`type='projects.colorformer.color_memory.ColorMemory'`, or their modules in `custom_imports`.
"""
