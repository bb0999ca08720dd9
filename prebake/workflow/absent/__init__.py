"""Starts on a machine that lacks the image: an empty Engine pulls it through a link with a chosen bit rate."""
