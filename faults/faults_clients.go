package main

const hoard = 1000

var clientFaults = []scenario{}
