"""The pages that a person opens in a browser: made on the server, by the process that answers REST."""
