"""Tools that look for weaknesses, asked where they are; what they answer, read; what they could not tell, said."""
