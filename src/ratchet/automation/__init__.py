"""What drives the loop: rules "on EVENT when CONDITION do ACTION", and the clock that ticks for them."""
