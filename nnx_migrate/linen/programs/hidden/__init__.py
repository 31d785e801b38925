"""Uses of classes that no name shows: by text, by computed imports, by namespaces, by other files."""
