"""Speed, measured with manners: a runner and batch sizes go in, a record with every sample comes out."""
