"""What only the kernel can do: identities, processes, sockets, time. Each in one named place."""
