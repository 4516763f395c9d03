"""One file a finding of the doctor: EXAM looks at one thing that matters to whoever explains this model."""
