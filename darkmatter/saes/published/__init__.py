"""Published SAEs: which the paper used, where they are, how their files are read, and what is refused at the door."""
