"""Whether a machine is fit to make runs: what is here, and what two small models learn here."""
