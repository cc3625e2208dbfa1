"""Pure decisions and the API for them; imports topics alone."""
