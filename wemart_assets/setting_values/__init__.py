"""Types of settings that are more than a number or a text: `settings.py` reads them, sources and marts use them."""
