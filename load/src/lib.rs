//! Files into a running Copydesk, over HTTP.
