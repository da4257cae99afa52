"""Which extra of alpaqual installs a package that training may need."""

_EXTRAS = {"peft": "lora", "bitsandbytes": "qlora", "tensorboard": "tensorboard", "liger_kernel": "liger"}


def extra_of(package: str) -> str:
    """The name in `pip install 'alpaqual[…]'`."""
    return _EXTRAS.get(package, "train")
