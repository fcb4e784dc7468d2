"""The command line `tfp-glow`; nothing else imports it."""
