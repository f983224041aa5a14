"""The crowd: learners that together predict what a job will need, with a calibrated risk."""
