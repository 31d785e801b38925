"""What programs hand to models: where they initialise them, and where they call them."""
