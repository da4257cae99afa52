"""One handler for each kind of stage, in a module named as the kind: see `alpaqual.plan.stages`."""
