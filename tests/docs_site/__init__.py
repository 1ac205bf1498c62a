"""The documentation site: the pages that are made from the code, and what MkDocs needs beside them.

``make docs`` builds the site from ``stream_bp/docs``. Nothing here is in the wheel or in the site.
"""
