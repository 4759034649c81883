"""Submissions: what a results folder offers to the published boards, and what they take of it."""
