"""From draws to a setting, under a stated attitude to risk."""
