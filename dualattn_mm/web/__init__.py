"""The server of `dualattn serve`: a REST interface, and a page in the browser.

The server itself does not load PyTorch. Uploads are colorized in a process of its own, which can be
stopped when a file takes too long, and whose crash stops no other request.
"""
