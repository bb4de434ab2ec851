# What an installation or a test needs beside the programs.

EXTRA_DIST += \
	README.md nginx %D%/debian %D%/jobq.conf %D%/logrotate %D%/monitoring %D%/packages %D%/quickstart \
	%D%/sample-project %D%/systemd

dist_man_MANS = %D%/man/jobqctl.1 %D%/man/jobq.conf.5 %D%/man/jobqd.8 \
	%D%/man/jobq-api.8 %D%/man/jobq-hook.8

# Builds the Debian packages, into the directory deb of the build. The same
# sources give the same bytes: times, owners and the order of files come from
# nowhere else. A link named debian would not do: dpkg-source does not follow it.
DEB_FLAGS = -us -uc

.PHONY: deb
deb:
	rm -rf deb $(distdir).tar.xz
	$(MKDIR_P) deb
	epoch=`dpkg-parsechangelog -l $(srcdir)/%D%/debian/changelog -S Timestamp` && \
	TAR_OPTIONS="--sort=name --mtime=@$$epoch --owner=0 --group=0 --numeric-owner \
		--mode=u+rw,go=rX --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime" \
		$(MAKE) $(AM_MAKEFLAGS) dist-xz
	mv $(distdir).tar.xz deb/$(PACKAGE)_$(VERSION).orig.tar.xz
	cd deb && tar -xf $(PACKAGE)_$(VERSION).orig.tar.xz
	cp -a $(srcdir)/%D%/debian deb/$(distdir)/debian
	epoch=`dpkg-parsechangelog -l $(srcdir)/%D%/debian/changelog -S Timestamp` && \
	find deb/$(distdir)/debian -exec touch -h -d @$$epoch {} +
	cd deb/$(distdir) && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u MAKEOVERRIDES \
		dpkg-buildpackage $(DEB_FLAGS)

clean-local:
	rm -rf deb

# What shells know of jobqctl. bash looks for a file that has the command's name.
EXTRA_DIST += %D%/completion/jobqctl.bash
dist_zshcompletion_DATA = %D%/completion/_jobqctl
nodist_bashcompletion_DATA = %D%/completion/jobqctl
CLEANFILES += %D%/completion/jobqctl
%D%/completion/jobqctl: %D%/completion/jobqctl.bash
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $(top_srcdir)/packaging/completion/jobqctl.bash $@
