"""The other role: whoever has files keeps them on machines of others."""
