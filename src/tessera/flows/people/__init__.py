"""What Tessera does for people: signing up and in, organizations, members, invitations, projects, keys.

Always holds: who acts is an `Actor` built from the database; rights are checked before anything is read or changed;
every change is one verb of the port, which writes the audit event in the same commit; what is said to a stranger does
not tell whether an e-mail address has an account.
"""
