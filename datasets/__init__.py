"""Datasets: typed tables a tenant defines, their records and who may do what with them."""
