"""Stages in containers: who runs them, what they read, and what they leave."""
