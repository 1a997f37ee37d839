"""`report.html`: what a run's folder tells, drawn, in one file that needs nothing else."""
