"""Who is who: scopes, import aliases, qualified names and the project's modules and classes."""
