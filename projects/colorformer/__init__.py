"""Parts of other networks for the comparisons in Table II.

No other module imports them. A config uses their full path, as in
`type='projects.colorformer.color_memory.ColorMemory'`, or lists their modules in `custom_imports`.
"""
