"""gdcore"""
