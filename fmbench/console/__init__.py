"""What people see on a terminal: tables on stdout, talk and live progress on stderr."""
