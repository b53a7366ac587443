"""Cards: the evidence of one encoder on one device, gathered in one run and written as files."""
