"""How steady and how right the colors of films are."""
