"""Background work as people see it: the words and cells of a job, and the operators' pages."""
