"""All that talks to an OpenSearch cluster; nothing here writes to one unless its module says so."""
