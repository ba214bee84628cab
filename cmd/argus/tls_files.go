package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsFiles are the settings of a TLS client.
type tlsFiles struct {
	On         bool
	CAFile     string
	CertFile   string
	KeyFile    string
	ServerName string
}

func (t *tlsFiles) declare(s *settings, group string) {
	s.toggle(&t.On, group+"tls", false, "use TLS")
	s.text(&t.CAFile, group+"tls_ca_file", "", "PEM file with the authorities to trust instead of the system's")
	s.text(&t.CertFile, group+"tls_cert_file", "", "PEM file with the client's certificate")
	s.text(&t.KeyFile, group+"tls_key_file", "", "PEM file with the client's key")
	s.text(&t.ServerName, group+"tls_server_name", "", "name that the server's certificate must have")
}

// load makes the TLS configuration; nil when TLS is off.
func (t *tlsFiles) load(s *settings, group string) (*tls.Config, error) {
	if !t.On {
		for _, file := range [][2]string{{"tls_ca_file", t.CAFile}, {"tls_cert_file", t.CertFile}, {"tls_key_file", t.KeyFile}, {"tls_server_name", t.ServerName}} {
			if key := group + file[0]; file[1] != "" {
				return nil, fmt.Errorf("%s: is given for TLS, but TLS is off; turn it on with --%s", s.name(key), flagName(group+"tls"))
			}
		}
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pool, err := certificates(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name(group+"tls_ca_file"), err)
		}
		config.RootCAs = pool
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.name(group+"tls_cert_file"), s.name(group+"tls_key_file"), err)
		}
		s.warnIfReadable(group+"tls_key_file", t.KeyFile)
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// certificates reads a file of authorities.
func certificates(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}
