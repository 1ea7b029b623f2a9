"""Fairlead: live voice, video and data between countries, for the LiveKit SDKs."""
