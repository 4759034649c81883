"""Tables computed from records, never edited by hand. Only this package imports pandas."""
