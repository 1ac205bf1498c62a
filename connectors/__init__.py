"""Where rows come from: sources of Arrow record batches, each with an exact position."""
