"""The checks of rules: one file each, with a class `Plugin` (`alpaqual.contracts.Check`)."""
