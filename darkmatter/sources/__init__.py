"""Where bytes come from: pinned Python packages and model hubs, every file checked by its SHA-256."""
