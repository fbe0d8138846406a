"""Log-in by a company's own provider (OIDC, SAML), for one organization each."""
