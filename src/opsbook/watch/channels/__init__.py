"""How a message goes out: a module for each form of address, found by registration. What none of them takes, Apprise
may."""
