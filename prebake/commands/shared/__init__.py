"""What all commands share: flags, the command type, output and labels."""
