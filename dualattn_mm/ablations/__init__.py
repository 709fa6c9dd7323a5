"""Parts of other networks that the paper compares with (Table II).

No other module imports these: a config that uses one names its module in `custom_imports`.
"""
