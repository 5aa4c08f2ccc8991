"""Language models: loaded from pinned files, read at hookpoints, run on with something spliced in."""
