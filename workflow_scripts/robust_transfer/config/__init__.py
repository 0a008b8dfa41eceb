"""What a study is: its schema, its checks, its grid."""
